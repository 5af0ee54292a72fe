"""The small book's second opinion: loops over lists."""
