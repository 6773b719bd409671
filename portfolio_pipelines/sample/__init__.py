"""Sample users and investments, ours and invented, so that a newcomer sees something."""
