"""The image, built and run for real: `make test-image`, as root on Debian. Nothing here needs torch outside the image."""
