"""Whether documents say what their schemas ask for, and tables what they say of themselves."""
