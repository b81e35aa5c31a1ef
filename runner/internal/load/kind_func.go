package load

import (
	"context"
	"errors"
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// FuncKind returns the kind of a load whose requests functions make, by name. What a request is about is the name.
func FuncKind(funcs map[string]func(context.Context, Request) Reply) Kind {
	return Kind{Name: scenarios.FuncKind, Open: func(context.Context, Place) (Session, error) { return funcSession(funcs), nil }}
}

type funcSession map[string]func(context.Context, Request) Reply

// Send implements Session. A panic of the function is an error of the generator: what it did until then is not known, but
// it says nothing about the system.
func (s funcSession) Send(ctx context.Context, r Request) (reply Reply, err error) {
	do := s[r.About]
	if do == nil {
		return Reply{}, OwnError(fmt.Sprintf("there is no function %q", r.About), "add it to runner.Options.Funcs", errors.New("no such function"))
	}
	defer func() {
		if p := recover(); p != nil {
			err = OwnError(fmt.Sprintf("the function %q panicked", r.About), "mend the function", fmt.Errorf("panic: %v", p))
		}
	}()
	reply = do(ctx, r)
	if reply.Word = oneWord(reply.Word); reply.Outcome != Acknowledged && reply.Word == "" {
		reply.Word = "unknown"
	}
	return reply, nil
}

// Close implements Session.
func (funcSession) Close() error { return nil }
