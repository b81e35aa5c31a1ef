package evidence

// Others is the name under which Counts puts what came after its names were used up.
const Others = "(others)"

// mostNames bounds the names of a Counts, beside Others.
const mostNames = 64

// Counts is a bounded map of counters by name. The zero value is empty; it is not safe for concurrent use.
type Counts struct{ n map[string]*int64 }

// Of returns the counter of a name, or that of Others once there are too many names.
func (c *Counts) Of(name string) *int64 {
	if c.n == nil {
		c.n = map[string]*int64{}
	}
	if n := c.n[name]; n != nil {
		return n
	}
	if len(c.n) >= mostNames {
		if n := c.n[Others]; n != nil {
			return n
		}
		name = Others
	}
	n := new(int64)
	c.n[name] = n
	return n
}

// Copy returns the counters so far; nil when nothing was counted.
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
