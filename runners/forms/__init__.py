"""Forms, one module a noun: what a person may type, and the words for what they may not."""
