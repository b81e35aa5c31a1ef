package runner

import "context"

// byHand lets the operator heal: from now on, until release, whatever is live is healed when Options.Healing says so, whether or not a step holds it. The
// returned channel is closed then; it is nil where nobody is there.
func (s *session) byHand() <-chan struct{} {
	if s.o.Healing == nil {
		return nil
	}
	s.release()
	ctx, cancel := context.WithCancel(s.ctx)
	pressed, healed, done := s.o.Healing(ctx), make(chan struct{}), make(chan struct{})
	s.release = func() { cancel(); <-done }
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
			return
		case <-pressed:
		}
		s.mu.Lock()
		s.handed = true
		s.mu.Unlock()
		if err := s.undo(s.lives()); err != nil {
			s.fail(err)
		}
		close(healed)
	}()
	return healed
}
