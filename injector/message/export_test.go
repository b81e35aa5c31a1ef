package message

// DamagePosition is damagePosition for the tests of other packages.
func (r *Relay) DamagePosition(x *Exchange, rule *Live, n int) int {
	return r.damagePosition(x, rule, n)
}
