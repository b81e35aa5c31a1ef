package http2

// Limits and reasons that the tests need.
const (
	MaxHeldWeight = maxHeldWeight
	TooMuchHeld   = tooMuchHeld
)
