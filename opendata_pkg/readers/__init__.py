"""What people ask for who read data: to find, fetch, clone, pin, bring and cite it."""
