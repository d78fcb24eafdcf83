"""The live loop and its parts: stage, performers, clock, streams; and offline rendering without a clock."""
