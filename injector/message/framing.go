package message

// Framing describes how a custom protocol marks its messages, for "lines" and "lengths". The zero value is lines
// without answers.
type Framing struct {
	Width    int  // "lengths": size of the length prefix in bytes: 1, 2, 4 or 8
	Little   bool // "lengths": little-endian
	Includes bool // "lengths": the length includes the prefix
	Lockstep bool // each message to the server has one answer, in order; otherwise messages are unrelated
}
