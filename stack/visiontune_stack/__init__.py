"""The embedded stack: every program of VisionTune on one machine, as child processes."""
