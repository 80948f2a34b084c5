"""What a fit's numbers mean: how well each Param is known, what no test sees, what stands out."""
