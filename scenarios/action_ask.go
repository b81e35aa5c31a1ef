package scenarios

import (
	"fmt"
	"slices"
	"time"
)

// AskLimit is how long a service may take to answer the request of a step.
const AskLimit = 10 * time.Second

// Ask sends a request to a service, past the links. Any answer but 2xx within AskLimit makes the run inconclusive.
type Ask struct {
	Service, Method, Path string
	Body                  string // "" for none
}

// RunCommand runs a command of the system. Any status but 0 makes the run inconclusive.
type RunCommand struct{ Name string }

func (Ask) action()        {}
func (RunCommand) action() {}

// String returns the action as a feature file states it.
func (a Ask) String() string {
	return fmt.Sprintf("%q of %q is asked", a.Method+" "+a.Path, a.Service)
}

// String returns the action as a feature file states it.
func (c RunCommand) String() string { return fmt.Sprintf("the command %q is run", c.Name) }

// touched returns what steps do to the system besides injecting faults.
func (e *Experiment) touched() (all []string) {
	for _, s := range e.Steps {
		switch s.Do.(type) {
		case Ask, RunCommand:
			if text := fmt.Sprint(s.Do); !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}
