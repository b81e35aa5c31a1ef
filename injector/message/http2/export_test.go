package http2

// MaxBuffered lets tests lower maxBuffered.
var MaxBuffered = &maxBuffered

// Limits and reasons that the tests need.
const (
	MaxHeldWeight = maxHeldWeight
	TooMuchHeld   = tooMuchHeld
)
