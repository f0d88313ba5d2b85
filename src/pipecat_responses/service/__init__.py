"""What both services share: settings, requests, frames, errors."""
