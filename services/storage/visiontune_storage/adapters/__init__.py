"""What the ports promise, on SQLAlchemy and on the minio client."""
