"""What people look at: the web pages and the pages of the terminal."""
