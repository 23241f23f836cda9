"""What a person sees: the magics, the card, the terminal, and the flow that they all observe."""
