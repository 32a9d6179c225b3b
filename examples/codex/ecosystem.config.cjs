// As PM2 reads it, too.
module.exports = {
  apps: [
    {
      name: "codex-backend",
      cwd: "./backend",
      script: "./start-dev.sh", // no watch mode
      env: { PORT: process.env.BACKEND_PORT || 3004 },
      max_memory_restart: "1G",
      autorestart: true,
      restart_delay: 5000, // 5 s before a restart
      max_restarts: 10,
      min_uptime: "10s"
    },
    {
      name: "codex-frontend",
      cwd: "./frontend",
      script: "./start-dev.sh",
      env: { PORT: process.env.FRONTEND_PORT || 3000, BACKEND_PORT: process.env.BACKEND_PORT || 3004 },
      max_memory_restart: "2G",
      autorestart: true,
      restart_delay: 5000,
      max_restarts: 10,
      min_uptime: "10s"
    },
    {
      name: "codex-generator",
      cwd: "./generator",
      script: "./start-dev.sh",
      env: { PORT: process.env.GENERATOR_PORT || 3002 },
      autorestart: true,
      restart_delay: 5000,
      max_restarts: 10,
      min_uptime: "10s"
    }
  ]
}
