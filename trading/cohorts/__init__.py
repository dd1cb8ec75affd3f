"""How a cohort is put together, booked and scored: the parts that its actions compose."""
