"""What happens in a locker network (events) and what is there (state)."""
