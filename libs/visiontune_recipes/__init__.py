"""What a training job is, as data: specs, presets, families and the checks on them. Imports no torch."""
