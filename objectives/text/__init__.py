"""Text: tokenizers, and texts that are classified or that a number is predicted from."""
