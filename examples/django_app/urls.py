"""The addresses of the example."""

from counts import views
from django.urls import path

urlpatterns = [
    path("texts/", views.submit),
    path("texts/<int:pk>/", views.answer, name="answer"),
    path("texts/<int:pk>/watch", views.watch),
    path("texts/<int:pk>/events", views.events),
]
