//go:build !race

package link

const raceEnabled = false

func repeats(n int) int { return n }
