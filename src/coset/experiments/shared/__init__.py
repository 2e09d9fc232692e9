"""What several experiments share: outcomes and files, composition, the README's table."""
