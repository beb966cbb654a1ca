"""What a person reads at the end: a study as one self-contained HTML file. It only reads, and is free of torch."""
