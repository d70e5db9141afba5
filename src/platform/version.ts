// What this program is. A test holds the version to package.json's.

export const version = '0.1.0'

/**
 * When this version was released, milliseconds since the epoch. A clock that says less is wrong: a small machine without
 * a battery starts in the past, and requests must not be counted there.
 */
export const releasedAtMs = Date.UTC(2026, 10, 1)
