"""The commands of `portfolio`, by subject. They parse, call one function and print; nothing is computed here."""
