"""What a person reads at the end: a study as one self-contained HTML file. Reads only, free of torch."""
