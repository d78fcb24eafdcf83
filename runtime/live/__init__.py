"""The live loop and what meets in it: stage, performers, clock, streams; and the same without a clock, for films."""
