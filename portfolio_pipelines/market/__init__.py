"""Market prices: providers behind one interface and the consensus over their quotes. Knows no database and no lake."""
