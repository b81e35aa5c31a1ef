package evidence

// Others is the name that Counts uses for all further names once it holds its maximum.
const Others = "(others)"

// maxNames is the maximum number of names in a Counts, without Others.
const maxNames = 64

// Counts is a map of counters by name with a limited number of names. The zero value is empty. It is not safe
// for concurrent use.
type Counts struct{ n map[string]*int64 }

// Of returns the counter of a name. A new name shares the counter of Others if there are already 64 names.
func (c *Counts) Of(name string) *int64 {
	if c.n == nil {
		c.n = map[string]*int64{}
	}
	if n := c.n[name]; n != nil {
		return n
	}
	if len(c.n) >= maxNames {
		if n := c.n[Others]; n != nil {
			return n
		}
		name = Others
	}
	n := new(int64)
	c.n[name] = n
	return n
}

// Copy returns the current values, or nil if nothing was counted.
func (c *Counts) Copy() map[string]int64 {
	if c.n == nil {
		return nil
	}
	all := make(map[string]int64, len(c.n))
	for name, n := range c.n {
		all[name] = *n
	}
	return all
}
