"""Reports as PDF: what they show is read from the marts, drawn by our own charts, and set by typst."""
