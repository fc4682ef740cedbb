"""GitHub's operations, one method each, grouped as GitHub's documentation groups them."""
