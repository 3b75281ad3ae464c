"""What an operator may see and do. No printing here: the command line and the console are doors to the same rooms."""
