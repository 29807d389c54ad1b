"""How a server of VisionTune runs. Knows no noun of the product."""
