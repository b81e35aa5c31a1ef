package screen

import (
	"time"

	tea "charm.land/bubbletea/v2"
)

// model draws a screen for Bubble Tea. It has no state but the size, and looks at the screen once a frame: who changes the
// screen never waits for the terminal.
type model struct{ *Screen }

type drawn time.Time

func again() tea.Cmd { return tea.Tick(frame, func(at time.Time) tea.Msg { return drawn(at) }) }

// Init starts the frames.
func (m model) Init() tea.Cmd { return again() }

// Update handles a frame and a new size.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.mu.Lock()
		m.width, m.height = msg.Width, msg.Height
		m.mu.Unlock()
	case drawn:
		return m, again()
	}
	return m, nil
}

// View returns the frame.
func (m model) View() tea.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := tea.NewView(m.draw())
	v.AltScreen, v.DisableBracketedPasteMode = true, true
	return v
}
