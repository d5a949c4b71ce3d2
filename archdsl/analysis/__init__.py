"""What is known of a checked network: costs, memory, receptive fields, legal sizes, differences."""
