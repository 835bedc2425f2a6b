#include "executor/flow.hpp"

#include "executor/flow_bodies.hpp"

namespace kairo::executor {

Outlet::Outlet(boost::asio::io_context& io, Ended ended)
    : body_(std::make_shared<OutletBody>(io, *this, std::move(ended))) {}

Outlet::~Outlet() {
  body_->close();
}

void Outlet::open(std::shared_ptr<Life> life) {
  body_->open(std::move(life));
}

void Outlet::finish() {
  body_->finish();
}

std::uint64_t Outlet::bytes() const {
  return body_->bytes;
}

std::uint64_t Outlet::life_bytes() const {
  return body_->life_bytes;
}

bool Outlet::connected() const {
  return !body_->edges.empty();
}

Intake::Intake(boost::asio::io_context& io, Hooks hooks)
    : body_(std::make_shared<IntakeBody>(io, std::move(hooks))) {}

Intake::~Intake() {
  body_->close();
}

void Intake::open(std::shared_ptr<Life> life, std::string first, Unaccepted unaccepted) {
  body_->open(std::move(life), std::move(first), unaccepted);
}

void Intake::hold(api::Boundary boundary, Held held) {
  body_->hold(boundary, std::move(held));
}

void Intake::release() {
  body_->release();
}

void Intake::end_life() {
  body_->end_life();
}

void Intake::stop() {
  body_->stop();
}

std::uint64_t Intake::bytes() const {
  return body_->bytes;
}

std::uint64_t Intake::waiting() const {
  return body_->waiting();
}

std::uint64_t Intake::life_bytes() const {
  return body_->life_bytes;
}

bool Intake::held() const {
  return body_->held();
}

bool Intake::ended() const {
  return body_->ended();
}

bool Intake::connected() const {
  return !body_->edges.empty();
}

void connect(Outlet& from, Intake& to, api::ConnectionType type) {
  auto edge = std::make_shared<Edge>();
  edge->from = from.body_;
  edge->to = to.body_;
  edge->type = type;
  from.body_->edges.push_back(edge);
  to.body_->edges.push_back(std::move(edge));
}

std::uint64_t edge_bytes(const Outlet& from, const Intake& to) {
  std::uint64_t bytes = 0;
  for (const auto& each : from.body_->edges)
    if (each->to == to.body_) bytes += each->bytes;
  return bytes;
}

}  // namespace kairo::executor
