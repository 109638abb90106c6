"""What the figures of `docs/explanation/figures.md` are measured with: `make bench`."""
