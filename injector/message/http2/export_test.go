package http2

// MaxBuffered is maxBuffered, which tests lower.
var MaxBuffered = &maxBuffered

// Limits and reasons that the tests need.
const (
	MaxHeldWeight = maxHeldWeight
	TooMuchHeld   = tooMuchHeld
)
