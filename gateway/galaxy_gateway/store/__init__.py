"""What the gateways of a deployment share: allowances of rate limits, and answers to repeat. In Redis, or in memory."""
