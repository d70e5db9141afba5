// Both preloads in one: the benchmark's metering, and the profile.
import './unmetered.ts'
import './profiled.ts'
