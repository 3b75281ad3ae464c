"""What an operator may see and do. Nothing is printed here: each door (command line, console, API) does that itself."""
