package runner

import "context"

// watchOperator allows the operator to heal: from now until release, all live faults are healed when
// the channel of Options.HealRequested is closed. The returned channel is closed after that. It is nil if
// Options.HealRequested is nil.
func (s *session) watchOperator() <-chan struct{} {
	if s.o.HealRequested == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(s.ctx)
	pressed, healed, done := s.o.HealRequested(ctx), make(chan struct{}), make(chan struct{})
	s.release() // only now, so that no request is lost in between
	s.release = func() { cancel(); <-done }
	go func() {
		defer close(done)
		select {
		case <-pressed:
		case <-ctx.Done():
			select {
			case <-pressed: // both at once
			default:
				return
			}
		}
		s.mu.Lock()
		s.healedByHand = true
		s.mu.Unlock()
		if err := s.healAll(s.liveInjections()); err != nil {
			s.fail(err)
		}
		close(healed)
	}()
	return healed
}
