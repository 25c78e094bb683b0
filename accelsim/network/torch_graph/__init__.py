"""What each module and function of torch means as steps of a graph. Nothing here imports torch."""
