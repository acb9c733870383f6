package charge

// A Draw is what a connector drew from a moment on, as it told it then.
type Draw struct {
	AtMS     int64 // Unix milliseconds, by the pile's clock
	PowerKW  float64
	Charging bool
}
