"""The smallest portfolio of a pool, with its proof."""
