"""What people may ask for of their own data: a copy of it, and that it is erased."""
