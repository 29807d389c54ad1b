"""The storage service: uploads, objects and quotas. The only program with bucket credentials."""
